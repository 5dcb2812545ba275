package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A client sends one request again and again on a connection that is kept. It
// does as little as it can: what it takes is taken from the server.
type client struct {
	conn       net.Conn
	in         *bufio.Reader
	request    []byte
	generation string // of the last answer
	body       []byte // of the last answer, until the next
}

func newClient(conn net.Conn, path string) *client {
	return &client{conn: conn, in: bufio.NewReader(conn),
		request: []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")}
}

// do sends the request and reads the answer, which must have status 200 and a
// known length.
func (c *client) do() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer: %s", line)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(rest)))
			if err != nil {
				return err
			}
		} else if rest, ok := bytes.CutPrefix(line, []byte("Theseus-Generation: ")); ok {
			if rest = bytes.TrimSpace(rest); string(rest) != c.generation {
				c.generation = string(rest)
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without a length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return err
}
