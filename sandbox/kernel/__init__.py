"""The kernel's facilities, one file each: thin typed functions over system calls, errors as `OSError` with errno and path."""
