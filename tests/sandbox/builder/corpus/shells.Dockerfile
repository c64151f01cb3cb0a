FROM busybox AS base
ENTRYPOINT ["/bin/echo", "one"]
CMD ["two"]
FROM base AS reset
ENTRYPOINT ["/bin/echo"]
FROM busybox
SHELL ["/bin/sh", "-x", "-c"]
RUN echo a  &&  \
    # a comment inside
    echo b > /b \
    && echo c > /c
RUN echo "quoted  blanks" 'single  blanks' > /blanks
RUN printf '%s\n' "back\\slash" > /slash
RUN ["/bin/sh", "-c", "echo \"json\" > /json"]
ENV A=1
RUN A=2 sh -c 'echo $A' > /a && echo $A >> /a
USER 65534
RUN id -u > /tmp/user
ENTRYPOINT ["/bin/sleep", "1"]
CMD ["2"]
