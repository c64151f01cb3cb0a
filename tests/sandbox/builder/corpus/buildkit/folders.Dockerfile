FROM busybox
RUN echo 'someone:x:71:72::/home:/bin/sh' >> /etc/passwd && echo keep > /keep && ln -s keep /link && mkdir /real && ln -s real /way
USER someone
WORKDIR /a/b
USER 5
WORKDIR c
USER someone:9
WORKDIR ../../w/x/./y/..
COPY one /link
COPY one ../z/
COPY --chown=someone tree /way/owned
COPY --chown=8 one /new/by/copy/
COPY tree/i* tree/o* tree/s* /flat/
USER root
