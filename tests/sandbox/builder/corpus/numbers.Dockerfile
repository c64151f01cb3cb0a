FROM busybox
RUN echo zero > /zero
FROM busybox as second
RUN echo second > /second
FROM busybox
COPY --from=0 /zero /
COPY --from=second /second /
COPY --from=1 /second /again
COPY --from=busybox /etc /etc-of-image
COPY --from=0 --chown=1:2 /zero /owned
