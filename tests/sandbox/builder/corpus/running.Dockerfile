FROM busybox
RUN echo one > /one
RUN ["sh", "-c", "echo two > /two"]
RUN rm /one && mkdir -p /d/e && echo x > /d/e/x
RUN rm -r /d && mkdir /d && echo y > /d/y
ENV VALUE=seen
ARG BUILD=too
RUN echo "$VALUE $BUILD" > /values
USER 1000:100
RUN id -u > /tmp/id && id -g >> /tmp/id
USER root
WORKDIR /w
RUN pwd > where && ln -s where link && ln where hard && mkfifo pipe
SHELL ["/bin/sh", "-e", "-c"]
RUN false || true; echo shell > /shell
RUN chmod 4755 /shell && chmod 1777 /w
