"""The default seccomp profile: what a container may ask of the kernel.

It follows the documented behaviour of Docker's default profile (https://docs.docker.com/engine/security/seccomp/): a
list of what is allowed, EPERM for the rest, some groups only with the capability that the kernel demands anyway, so
that an image that runs under Docker runs here. Differences: x32 calls are refused, and so are the 32-bit calls of ARM,
whose table Hako does not carry. The 32-bit calls of i386 pass by the same names as there (i686 packages are built and
tested in containers). Pure data and one function; used by `seccomp`, which compiles it.
"""

from __future__ import annotations

from errno import ENOSYS
from typing import TYPE_CHECKING

from sandbox.kernel.seccomp import ALLOW, ERRNO, Profile, Rule, refuse

if TYPE_CHECKING:
    from collections.abc import Collection

_FILES = """
access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2
pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr
removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64
statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime
utimensat utimensat_time64 utimes vmsplice write writev
"""

_MEMORY = """
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
"""

_PROCESSES = """
capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
getsid gettid getuid getuid32 get_robust_list get_thread_area ioprio_get ioprio_set kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid
setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
setreuid setreuid32 setrlimit setsid setuid setuid32 set_robust_list set_thread_area set_tid_address sigaltstack
signalfd signalfd4 sigprocmask sigreturn sysinfo tgkill times tkill ugetrlimit uname uretprobe vfork wait4 waitid
waitpid
"""

_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select
"""

_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64
"""

_COMMUNICATION = """
accept accept4 bind connect getpeername getrandom getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv
recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto
setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair
"""

# Allowed since Linux 4.8, where a tracer can no longer change a call behind the filter's back. Hako needs a newer
# kernel anyway.
_TRACING = "process_vm_readv process_vm_writev ptrace"

_MACHINE = {"x86_64": "arch_prctl modify_ldt", "aarch64": "cacheflush set_tls breakpoint"}

# capability's number (linux/capability.h) -> calls
_BY_CAPABILITY = {
    2: "open_by_handle_at",  # DAC_READ_SEARCH
    16: "delete_module finit_module init_module",  # SYS_MODULE
    17: "ioperm iopl",  # SYS_RAWIO
    18: "chroot",  # SYS_CHROOT
    19: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",  # SYS_PTRACE
    20: "acct",  # SYS_PACCT
    # SYS_ADMIN
    21: """bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare""",
    22: "reboot",  # SYS_BOOT
    23: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",  # SYS_NICE
    25: "clock_settime clock_settime64 settimeofday stime",  # SYS_TIME
    26: "vhangup",  # SYS_TTY_CONFIG
    34: "syslog",  # SYSLOG
    38: "perf_event_open",  # PERFMON
    39: "bpf",  # BPF
}
_SYS_ADMIN = 21

# NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET; clone(2) has no place for NEWTIME
_NAMESPACE_FLAGS = 0x7E02_0000

# PER_LINUX, PER_LINUX32, each also with UNAME26, and the query
_PERSONALITIES = (0x0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)

# Protocol families, both ends included. Left out: 40 VSOCK (talks to the hypervisor, past every network namespace), 38
# ALG (the kernel's crypto, a repeated source of local privilege escalations) and families nobody uses any more.
_FAMILIES = ((0, 11), (13, 18), (21, 22), (24, 24), (26, 33), (35, 36), (39, 39), (41, 45))


def default_profile(capabilities: Collection[int], architecture: str) -> Profile:
    """The profile for a process that has `capabilities` (numbers of linux/capability.h; `Capability` members fit).

    `architecture` is the machine's as `uname -m` says. An unknown one gives a profile that `compile` refuses.
    """
    allowed = [_FILES, _MEMORY, _PROCESSES, _WAITING, _TIME, _COMMUNICATION, _TRACING, _MACHINE.get(architecture, "")]
    allowed += [names for capability, names in _BY_CAPABILITY.items() if capability in capabilities]
    rules = [
        Rule(names=tuple(" ".join(allowed).split()), action=ALLOW),
        *(
            Rule(names=("socket",), action=ALLOW, conditions=((0, "ge", 0, first), (0, "le", 0, last)))
            for first, last in _FAMILIES
        ),
        *(Rule(names=("personality",), action=ALLOW, conditions=((0, "eq", 0, value),)) for value in _PERSONALITIES),
    ]
    if _SYS_ADMIN not in capabilities:
        rules += [
            Rule(names=("clone",), action=ALLOW, conditions=((0, "masked", _NAMESPACE_FLAGS, 0),)),
            # Its flags lie in memory, out of a filter's sight. ENOSYS lets libc fall back on clone.
            Rule(names=("clone3",), action=refuse(ENOSYS)),
        ]
    return Profile(
        architecture=architecture, compatible=architecture == "x86_64", default=ERRNO | 1, rules=tuple(rules)
    )
