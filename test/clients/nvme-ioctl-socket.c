/*
 * Lets NVMe tools such as nvme-cli talk to a controller of an emulated machine (`pincushion serve nvme --socket PATH`).
 *
 *   cc -shared -fPIC -O2 -o nvme-ioctl-socket.so nvme-ioctl-socket.c -ldl
 *   PINCUSHION_NVME=PATH LD_PRELOAD=./nvme-ioctl-socket.so nvme id-ctrl /dev/nvme0
 *
 * An open of /dev/nvme0 (the controller) or /dev/nvme0nN (namespace N) gives a descriptor on which the ioctls of
 * <linux/nvme_ioctl.h> become messages on the socket; every other call goes to the C library as it is. One command at a time.
 * The messages are described in docs/reference/serve.md.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define REQUEST_MAGIC 0x4853564eu /* "NVSH" */
#define CONTROLLER 0
#define NOT_OURS (-1)

/* Of each descriptor: 1 + the namespace id, 1 for the controller, 0 for what is none of ours. */
static int served[DESCRIPTORS];
static int server = -1;

struct request_header {
	uint32_t magic, kind;
	uint8_t command[64];
	uint32_t to_controller, from_controller;
};

struct reply_header {
	uint32_t status, result, length;
};

/* The namespace that a path names, CONTROLLER, or NOT_OURS. */
static int namespace_of_path(const char *path)
{
	int namespace, end = 0;

	if (path == NULL || getenv("PINCUSHION_NVME") == NULL)
		return NOT_OURS;
	if (strcmp(path, "/dev/nvme0") == 0)
		return CONTROLLER;
	if (sscanf(path, "/dev/nvme0n%d%n", &namespace, &end) == 1 && path[end] == '\0' && namespace > 0)
		return namespace;
	return NOT_OURS;
}

static int namespace_of_descriptor(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? served[fd] - 1 : NOT_OURS;
}

static int open_ours(int namespace)
{
	int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	int fd = real_open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd >= DESCRIPTORS) {
		close(fd);
		errno = EMFILE;
		return -1;
	}
	if (fd >= 0)
		served[fd] = 1 + namespace;
	return fd;
}

#define DEFINE_OPEN(name)                                                                                      \
	int name(const char *path, int flags, ...)                                                             \
	{                                                                                                      \
		int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
		int namespace = namespace_of_path(path);                                                       \
		va_list rest;                                                                                  \
		int mode;                                                                                      \
		va_start(rest, flags);                                                                         \
		mode = va_arg(rest, int);                                                                      \
		va_end(rest);                                                                                  \
		return namespace == NOT_OURS ? real(path, flags, mode) : open_ours(namespace);                 \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

/* What open is with _FORTIFY_SOURCE. */
#define DEFINE_OPEN_2(name)                                                                            \
	int name(const char *path, int flags)                                                          \
	{                                                                                              \
		int (*real)(const char *, int) = (int (*)(const char *, int))dlsym(RTLD_NEXT, #name);  \
		int namespace = namespace_of_path(path);                                               \
		return namespace == NOT_OURS ? real(path, flags) : open_ours(namespace);               \
	}
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)

int close(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");

	if (fd >= 0 && fd < DESCRIPTORS)
		served[fd] = 0;
	return real(fd);
}

static void describe(struct stat *facts, int namespace)
{
	memset(facts, 0, sizeof(*facts));
	facts->st_mode = 0600 | (namespace == CONTROLLER ? S_IFCHR : S_IFBLK);
	facts->st_rdev = namespace == CONTROLLER ? makedev(240, 0) : makedev(259, namespace);
}

#define DEFINE_STAT(name, type)                                                                        \
	int name(const char *path, struct type *facts)                                                 \
	{                                                                                              \
		int (*real)(const char *, struct type *) =                                             \
			(int (*)(const char *, struct type *))dlsym(RTLD_NEXT, #name);                 \
		int namespace = namespace_of_path(path);                                               \
		if (namespace == NOT_OURS)                                                             \
			return real(path, facts);                                                      \
		describe((struct stat *)facts, namespace);                                             \
		return 0;                                                                              \
	}
DEFINE_STAT(stat, stat)
DEFINE_STAT(stat64, stat64)

#define DEFINE_FSTAT(name, type)                                                                       \
	int name(int fd, struct type *facts)                                                           \
	{                                                                                              \
		int (*real)(int, struct type *) = (int (*)(int, struct type *))dlsym(RTLD_NEXT, #name); \
		int namespace = namespace_of_descriptor(fd);                                           \
		if (namespace == NOT_OURS)                                                             \
			return real(fd, facts);                                                        \
		describe((struct stat *)facts, namespace);                                             \
		return 0;                                                                              \
	}
DEFINE_FSTAT(fstat, stat)
DEFINE_FSTAT(fstat64, stat64)

static int send_all(const void *from, size_t bytes)
{
	const char *at = from;

	while (bytes > 0) {
		ssize_t sent = send(server, at, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return -1;
		at += sent;
		bytes -= (size_t)sent;
	}
	return 0;
}

static int receive_all(void *into, size_t bytes)
{
	char *at = into;

	while (bytes > 0) {
		ssize_t got = recv(server, at, bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		at += got;
		bytes -= (size_t)got;
	}
	return 0;
}

static int connected(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("PINCUSHION_NVME");

	if (server >= 0)
		return 0;
	if (path == NULL || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return server < 0 ? -1 : connect(server, (struct sockaddr *)&address, sizeof(address));
}

/* Sends a command and waits. The status of the controller, 0 or above; or -1 with errno. */
static int exchange(int is_io, struct request_header *request, void *data, uint32_t bytes, uint32_t *result)
{
	uint8_t directions = request->command[0] & 3;
	struct reply_header reply;

	request->magic = REQUEST_MAGIC;
	request->kind = (uint32_t)is_io;
	request->to_controller = (directions & 1) != 0 ? bytes : 0;
	request->from_controller = (directions & 2) != 0 ? bytes : 0;
	if (connected() < 0) {
		errno = ENODEV;
		return -1;
	}
	if (send_all(request, sizeof(*request)) < 0 || send_all(data, request->to_controller) < 0 ||
	    receive_all(&reply, sizeof(reply)) < 0 || reply.length > bytes || receive_all(data, reply.length) < 0) {
		errno = EIO;
		return -1;
	}
	*result = reply.result;
	return (int)(reply.status & 0x7fff);
}

/* The first 72 bytes of both forms of a passthrough command are the same but for the result. */
static int passthrough(int is_io, struct nvme_passthru_cmd *command, uint32_t *result)
{
	struct request_header request = { 0 };

	request.command[0] = command->opcode;
	request.command[1] = command->flags;
	memcpy(request.command + 4, &command->nsid, 4);
	memcpy(request.command + 8, &command->cdw2, 8);
	memcpy(request.command + 40, &command->cdw10, 24);
	return exchange(is_io, &request, (void *)(uintptr_t)command->addr, command->data_len, result);
}

/* The old ioctl for reads, writes and compares, which knows no byte length: blocks of PINCUSHION_NVME_BLOCK bytes, or 512. */
static int submit_io(int namespace, struct nvme_user_io *io)
{
	const char *block = getenv("PINCUSHION_NVME_BLOCK");
	uint32_t bytes = (io->nblocks + 1u) * (block == NULL ? 512u : (uint32_t)atoi(block));
	uint32_t blocks = io->nblocks | (uint32_t)io->control << 16;
	struct request_header request = { 0 };
	uint32_t result;

	request.command[0] = io->opcode;
	memcpy(request.command + 4, &namespace, 4);
	memcpy(request.command + 40, &io->slba, 8);
	memcpy(request.command + 48, &blocks, 4);
	memcpy(request.command + 52, &io->dsmgmt, 4);
	return exchange(1, &request, (void *)(uintptr_t)io->addr, bytes, &result);
}

int ioctl(int fd, unsigned long call, ...)
{
	int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	int namespace = namespace_of_descriptor(fd);
	uint32_t result = 0;
	va_list rest;
	void *argument;
	int status;

	va_start(rest, call);
	argument = va_arg(rest, void *);
	va_end(rest);
	if (namespace == NOT_OURS)
		return real(fd, call, argument);
	switch (call) {
	case NVME_IOCTL_ID:
		if (namespace != CONTROLLER)
			return namespace;
		break;
	case NVME_IOCTL_ADMIN_CMD:
	case NVME_IOCTL_IO_CMD:
		status = passthrough(call == NVME_IOCTL_IO_CMD, argument, &result);
		if (status >= 0)
			((struct nvme_passthru_cmd *)argument)->result = result;
		return status;
	case NVME_IOCTL_ADMIN64_CMD:
	case NVME_IOCTL_IO64_CMD:
		status = passthrough(call == NVME_IOCTL_IO64_CMD, argument, &result);
		if (status >= 0)
			((struct nvme_passthru_cmd64 *)argument)->result = result;
		return status;
	case NVME_IOCTL_SUBMIT_IO:
		return submit_io(namespace, argument);
	}
	errno = ENOTTY;
	return -1;
}
