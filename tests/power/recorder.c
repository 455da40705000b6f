/* What reached the disk: loaded into every process of a study (LD_PRELOAD), for tests of power cuts.

   Whenever a process asks for a file or folder below $POWER_ROOT to be brought onto the disk, its content is copied
   to $POWER_DISK first: a file's bytes as f<id>, a folder's list of names as d<id>. The copy is made before the call
   goes on to the system, so that nothing is taken for kept which was not there when it was asked for. An id is a
   file's number with its time of birth, which no later file shares. Writes themselves are not looked at. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int identify(int folder, const char *name, char *id, size_t size) {
    struct statx about;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(folder, name, flags, STATX_BASIC_STATS | STATX_BTIME, &about)) return -1;
    snprintf(id, size, "%llu-%lld-%u", (unsigned long long)about.stx_ino, (long long)about.stx_btime.tv_sec,
             about.stx_btime.tv_nsec);
    return about.stx_mode & S_IFMT;
}

static void copy_bytes(int from, int to) {
    static __thread char buffer[1 << 16];
    off_t at = 0;
    ssize_t got;
    while ((got = pread(from, buffer, sizeof buffer, at)) > 0 && write(to, buffer, got) == got) at += got;
}

static void copy_names(const char *folder, int to) {
    DIR *names = opendir(folder);
    struct dirent *each;
    while (names && (each = readdir(names))) {
        char id[64], line[sizeof id + NAME_MAX + 4];
        if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, "..")) continue;
        int kind = identify(dirfd(names), each->d_name, id, sizeof id);
        if (kind == -1) continue;
        int length = snprintf(line, sizeof line, "%c%s %s\n", kind == S_IFDIR ? 'd' : 'f', id, each->d_name);
        if (write(to, line, length) != length) break;
    }
    if (names) closedir(names);
}

static void record(int file) {
    const char *root = getenv("POWER_ROOT"), *disk = getenv("POWER_DISK");
    char link[64], path[PATH_MAX], id[64], copy[PATH_MAX], whole[PATH_MAX];
    if (!root || !disk) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    size_t above = strlen(root);
    if (strncmp(path, root, above) || (path[above] && path[above] != '/')) return;
    int kind = identify(file, "", id, sizeof id);
    if (kind != S_IFDIR && kind != S_IFREG) return;
    snprintf(copy, sizeof copy, "%s/new-%d-%ld", disk, getpid(), syscall(SYS_gettid));
    snprintf(whole, sizeof whole, "%s/%c%s", disk, kind == S_IFDIR ? 'd' : 'f', id);
    int to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0) return;
    if (kind == S_IFDIR) copy_names(path, to);
    else if ((fcntl(file, F_GETFL) & O_ACCMODE) != O_WRONLY) copy_bytes(file, to);
    else {  /* never for a database's: closing a second descriptor of a file drops the locks on it */
        int from = open(link, O_RDONLY | O_CLOEXEC);
        if (from >= 0) copy_bytes(from, to), close(from);
    }
    close(to);
    rename(copy, whole);
}

static int pass_on(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int before = errno;
    record(file);
    errno = before;
    return real(file);
}

int fsync(int file) { return pass_on("fsync", file); }
int fdatasync(int file) { return pass_on("fdatasync", file); }
