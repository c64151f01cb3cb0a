# escape=`
FROM busybox
RUN <<EOF
echo one
echo two
EOF
RUN <<-SCRIPT
	#!/bin/sh
	echo three
	SCRIPT
RUN cat <<A - <<"B" `
  | wc
first
A
$second
B
COPY <<one.txt <<"two.txt" /texts/
has $A
one.txt
has no $A
two.txt
ADD --checksum=sha256:00 https://example.org/x /x
