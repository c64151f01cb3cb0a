ARG WHO=world
FROM busybox AS build
ARG WHO
WORKDIR /src
COPY tree/ ./
RUN echo "hello $WHO" > greeting && chmod 0640 greeting && chown 7:8 greeting
FROM busybox
COPY --from=build /src/greeting /data/
COPY --from=build /src /all/
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat /data/greeting"]
