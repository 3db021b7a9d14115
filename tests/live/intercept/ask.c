/* A static client that knows nothing of proxies: asks http://HOST/ and prints the status line and the body. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    struct addrinfo wish = {.ai_socktype = SOCK_STREAM}, *found;
    char text[4096];
    int problem = getaddrinfo(words[1], "80", &wish, &found);
    if (count < 2 || problem) {
        puts(gai_strerror(problem));
        return 1;
    }
    int line = socket(found->ai_family, SOCK_STREAM, 0);
    if (connect(line, found->ai_addr, found->ai_addrlen)) {
        perror("connect");
        return 1;
    }
    int size = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", words[1]);
    write(line, text, size);
    while ((size = read(line, text, sizeof text)) > 0) fwrite(text, 1, size, stdout);
    return 0;
}
