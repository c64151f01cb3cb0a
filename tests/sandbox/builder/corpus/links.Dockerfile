FROM busybox
RUN mkdir -p /d/sub && echo old > /d/sub/file && echo keep > /d/keep && chmod 0700 /d && touch /was-file
COPY tree /d
COPY one /d/sub/file
RUN rm /was-file && mkdir /was-file && echo x > /was-file/x
RUN rm -r /d/sub && echo now-file > /d/sub
RUN chmod 0711 /d && chown 9:9 /d/keep && touch -d @1000000000 /d/keep
COPY tree/sub/ /was-file/
RUN mkdir -p /real/inner /elsewhere && ln -s /real /absolute && ln -s real /relative && ln -s /real/inner /absolute2
COPY one /absolute/
COPY two /relative/inner/two
COPY tree /absolute2
COPY link tree/inside /links/
WORKDIR /relative/inner
COPY one here
