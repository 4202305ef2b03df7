"""System calls by name, with their numbers on x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h).

None stands for a call that the architecture does not have.
"""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h; their order is that of the numbers below."""

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "lseek": (8, 62), "close": (3, 57), "fstat": (5, 80), "stat": (4, None),
    "getdents64": (217, 61), "getcwd": (79, 17), "brk": (12, 214), "munmap": (11, 215),
    "set_robust_list": (273, 99), "rseq": (334, 293), "gettid": (186, 178), "getpid": (39, 172),
    "sched_yield": (24, 124), "getcpu": (309, 168), "exit": (60, 93), "exit_group": (231, 94),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getrusage": (98, 165), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "sysinfo": (99, 179), "getrlimit": (97, 163),
}  # fmt: skip
"""Calls that decoders need after their libraries are loaded, harmless with any argument.

`stat` works for every path, because a filter can't read paths. glibc before 2.37 needs `sysinfo` to sort.
"""

ALLOWED_BY_ARGUMENT: dict[str, tuple[int | None, int | None]] = {
    "open": (2, None), "openat": (257, 56), "newfstatat": (262, 79), "clone": (56, 220), "mmap": (9, 222),
    "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233), "futex": (202, 98),
    "prlimit64": (302, 261), "prctl": (157, 167), "fcntl": (72, 25), "ioctl": (16, 29),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "getrandom": (318, 278),
}  # fmt: skip
"""Calls that are allowed with the arguments that `call_arguments` lists."""

REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "sendto": (44, 206), "sendmsg": (46, 211), "bind": (49, 200), "listen": (50, 201),
    "socketpair": (53, 199), "fork": (57, None), "vfork": (58, None), "execve": (59, 221),
    "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "creat": (85, None), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "readlink": (89, None), "readlinkat": (267, 78), "lstat": (6, None),
    "ftruncate": (77, 46), "truncate": (76, 45), "rename": (82, None), "link": (86, None), "symlink": (88, None),
    "unlink": (87, None), "mkdir": (83, None), "mknod": (133, None), "chmod": (90, None),
    "chown": (92, None), "setxattr": (188, 5), "renameat": (264, 38), "renameat2": (316, 276),
    "linkat": (265, 37), "symlinkat": (266, 36), "unlinkat": (263, 35), "mkdirat": (258, 34),
    "mknodat": (259, 33), "fchmod": (91, 52), "fchmodat": (268, 53), "fchown": (93, 55),
    "fchownat": (260, 54), "personality": (135, 92), "pivot_root": (155, 41), "chroot": (161, 51),
    "mount": (165, 40), "umount2": (166, 39), "reboot": (169, 142), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "unshare": (272, 97), "setns": (308, 268), "perf_event_open": (298, 241), "memfd_create": (319, 279),
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "setpriority": (141, 140), "sethostname": (170, 161), "setdomainname": (171, 162),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "mq_open": (240, 180), "setuid": (105, 146), "setgid": (106, 144),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "capset": (126, 91),
}  # fmt: skip
"""Calls that fail with EPERM. All others fail with ENOSYS, so that a C library falls back."""
