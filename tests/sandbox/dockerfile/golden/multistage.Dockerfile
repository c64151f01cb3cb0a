# syntax=docker/dockerfile:1
# A build in one stage, the result in another.
ARG RELEASE=bookworm
FROM --platform=$BUILDPLATFORM debian:${RELEASE} AS Build
WORKDIR /src
COPY --chown=1:2 ["a file", "b", "./"]
RUN --mount=type=cache,target=/root/.cache,sharing=locked \
    # the cache stays
    make all \
    && make install

FROM scratch
COPY --from=build --chmod=0755 --link /out/* /usr/bin/
ENV A=1 B="two words" C=${A:-x}
ENV OLD the old form
LABEL org.opencontainers.image.title=golden
EXPOSE 80 443/udp
USER 1000:1000
VOLUME ["/data"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost/
ONBUILD RUN echo hello
ENTRYPOINT ["/usr/bin/tool"]
CMD --help
