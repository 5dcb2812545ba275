package stream

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"
)

// noStatus stands for a close frame without a status code; it is never sent.
const noStatus = 1005

// maxReason is how many bytes of text a close frame holds.
const maxReason = maxControl - 2

// violation is the end of a client that breaks RFC 6455.
func violation(reason string) *CloseError {
	return &CloseError{Code: 1002, Reason: reason, Local: true}
}

// sendable reports whether a close frame may carry code (RFC 6455, section 7.4,
// and the registry of its section 11.7).
func sendable(code int) bool {
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999)
}

// parseClose reads the payload of a close frame (RFC 6455, section 5.5.1). The
// result is Local if the payload is malformed.
func parseClose(p []byte) *CloseError {
	if len(p) == 0 {
		return &CloseError{Code: noStatus}
	}
	if len(p) == 1 {
		return violation("close frame with half a status code")
	}
	code, reason := int(binary.BigEndian.Uint16(p)), string(p[2:])
	if !sendable(code) {
		return violation("close frame with an invalid status code")
	}
	if !utf8.ValidString(reason) {
		return &CloseError{Code: 1007, Reason: "close reason is not UTF-8", Local: true}
	}
	return &CloseError{Code: code, Reason: reason}
}

// closePayload is what a close frame for c carries.
func closePayload(c *CloseError) []byte {
	switch {
	case c.Code == noStatus:
		return nil
	case !sendable(c.Code):
		c = &CloseError{Code: 1011}
	}
	reason := strings.ToValidUTF8(c.Reason, "\uFFFD")
	for len(reason) > maxReason {
		_, n := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-n]
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(c.Code)), reason...)
}

// farewell is what the client is told when run has returned err. What went wrong
// inside is not its business.
func farewell(err error) *CloseError {
	var c *CloseError
	switch {
	case err == nil:
		return &CloseError{Code: 1000}
	case errors.As(err, &c):
		return c
	}
	return &CloseError{Code: 1011, Reason: "internal error"}
}
