FROM busybox
ARG A=argument
ENV FIRST=1 SECOND="two words" THIRD=${A} FOURTH=three\ words
ENV LEGACY the rest of the line
ENV CHAINED=$FIRST-${SECOND}-${UNSET:-default}-${FIRST:+set}
LABEL one=1 "two words"="a b" three=$FIRST
MAINTAINER somebody
WORKDIR /a
WORKDIR b/$FIRST
RUN true
USER 1000:1000
EXPOSE 80 443/tcp 53/udp
VOLUME /data
VOLUME ["/other", "/more"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD test -e /tmp
ONBUILD RUN echo triggered
SHELL ["/bin/sh", "-e", "-c"]
CMD ["echo", "$FIRST"]
