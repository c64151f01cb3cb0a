FROM busybox AS files
RUN echo file > /file
FROM busybox AS base
ONBUILD RUN echo fired > /fired
ONBUILD ENV FROM_TRIGGER=yes
FROM base AS middle
RUN cat /fired && echo "$FROM_TRIGGER" > /seen
FROM middle
COPY --from=files /file /
ONBUILD COPY . /later
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=2 CMD test -e /file
