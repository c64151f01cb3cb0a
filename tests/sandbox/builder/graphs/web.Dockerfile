# syntax=docker/dockerfile:1
# A front end, a back end for the target's platform compiled on ours, tests that the image does not need.
ARG NODE=22
ARG DISTRIBUTION=debian:bookworm
FROM --platform=$BUILDPLATFORM node:$NODE AS front
WORKDIR /src
RUN --mount=type=cache,target=/root/.npm npm ci
FROM scratch AS vendored
COPY vendor /
FROM --platform=$BUILDPLATFORM golang:1.23 AS tools
FROM tools AS back
ARG TARGETARCH
RUN --mount=type=bind,target=. --mount=from=vendored,target=/vendor go build
FROM back AS test
RUN go test ./...
FROM alpine AS certificates
RUN apk add ca-certificates
FROM ${DISTRIBUTION} AS base
ONBUILD COPY --from=certificates /etc/ssl /etc/ssl
FROM base
COPY --from=front /src/dist /srv
COPY --from=back /out /usr/bin
COPY --from=nginx:1.27 /etc/nginx /etc/nginx
