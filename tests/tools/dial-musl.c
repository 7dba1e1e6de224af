/* Resolves and connects through musl's resolver: dial-musl HOST PORT */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;

	if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &found)) {
		fprintf(stderr, "usage: dial-musl HOST PORT, and HOST must be known\n");
		return 2;
	}
	int fd = socket(found->ai_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) {
		perror("dial-musl");
		return 1;
	}
	return 0;
}
