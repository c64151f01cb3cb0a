FROM busybox AS source
RUN mkdir /made && echo made > /made/file
FROM busybox
RUN mkdir /mnt /scratch /cache
RUN --mount=type=bind,source=tree,target=/mnt cp -r /mnt /copied && ls /mnt > /listed
RUN --mount=type=bind,from=source,source=/made,target=/mnt cat /mnt/file > /from-stage
RUN --mount=type=bind,target=/mnt,rw cat /mnt/one > /whole
RUN --mount=type=tmpfs,target=/scratch echo x > /scratch/x && cp /scratch/x /kept
RUN --mount=type=cache,target=/cache echo y > /cache/y && cp /cache/y /cached
RUN ls -A /scratch /cache | sort > /empty
