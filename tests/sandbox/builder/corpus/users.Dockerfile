FROM busybox
RUN echo 'someone:x:71:72::/home:/bin/sh' >> /etc/passwd && echo 'group:x:73:' >> /etc/group
COPY --chown=someone one /a
COPY --chown=someone:group one /b
COPY --chown=74 one /c
COPY --chown=someone:75 tree /d
COPY --chown=76:group one /new/folder/e
USER someone
RUN id -u > /tmp/uid; id -g > /tmp/gid
USER someone:group
WORKDIR /made/by/workdir
RUN id -g > /tmp/group
USER 77
COPY one /tmp/f
