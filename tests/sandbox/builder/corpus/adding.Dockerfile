FROM busybox
ADD archive.tar.gz /unpacked/
ADD archive.tar.gz one /mixed/
ADD archive.tar.gz /again/folder/
ADD --chown=7:8 one tree /owned-files/
ADD tree/sub /sub
ADD ["with blank", "/with blank"]
