# Names in any case, numbers, a name that is given twice.
FROM a AS One
FROM ONE AS two
COPY --from=0 / /
FROM b AS two
COPY --from=one / /
FROM two AS later
RUN --mount=type=cache,from=1,target=/c true
FROM scratch
COPY --from=LATER / /
RUN --mount=type=bind,from=one,source=/x,target=/$y true
