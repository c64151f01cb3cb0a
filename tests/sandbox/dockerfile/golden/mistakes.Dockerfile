FROM busybox
WORKDR /x
RUN --mont=type=cache,target=/x true
COPY only-one
CMD ["a", 2]
EXPOSE
RUN <<EOF
never ended
