"""The kernel's facilities, one file each: thin typed functions over system calls; errors are `OSError` with errno."""
