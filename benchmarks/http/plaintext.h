/* SPDX-License-Identifier: MIT */
/* The bytes of the /plaintext answer, shared with the floor so that both move the same ones. */
#ifndef HTTP_PLAINTEXT_H
#define HTTP_PLAINTEXT_H

#define HTTP_OK_UP_TO_DATE "HTTP/1.1 200 OK\r\nServer: weft\r\nDate: "

#define HTTP_PLAINTEXT_HEAD_REST "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\n"
#define HTTP_PLAINTEXT_BODY "Hello, World!"

#define HTTP_JSON_HEAD_REST "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n"
#define HTTP_JSON_BODY "{\"message\":\"Hello, World!\"}"

#endif
