FROM busybox
COPY --chmod=755 one two /modes/
COPY * /everything/
COPY tree/*.txt tree/s* /flat/
COPY tree/*/b.txt /deep/
COPY o?e /q/
COPY [ot]* /set/
COPY one /no/such/folder/yet
COPY one /trailing/
COPY tree/sub/b.txt tree/other/c /two-files/
COPY ./one ././tree/ /a/
COPY ../../one /b/
COPY tree/. /c
COPY tree/../one /d
COPY / /all-of-it/
