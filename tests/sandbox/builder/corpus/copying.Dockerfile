FROM busybox
COPY one /file
COPY one /folder/
COPY one two /several/
COPY tree /tree
COPY tree/sub /tree/other/
COPY *e /wild/
COPY t?o tr[a-f]e/*.txt /classes/
COPY --chown=10:20 one /owned
COPY --chown=10:20 tree /owned-tree/
COPY --chmod=0600 one /private
COPY link /link
COPY ["with blank", "/with blank"]
WORKDIR /work
COPY one relative
COPY one ./sub/
ADD two added
