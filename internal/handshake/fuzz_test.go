package handshake

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/textproto"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// The rules of the RFCs once more, in other words than the code's, for the
// fuzz targets to compare with.

var (
	token      = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")          // RFC 9110 §5.6.2
	websocket  = regexp.MustCompile(`^[Ww][Ee][Bb][Ss][Oo][Cc][Kk][Ee][Tt]$`) // (?i) knows more letters than ASCII has
	anyLetters = regexp.MustCompile(`(?i)websocket`)
	upgrade    = regexp.MustCompile(`^[Uu][Pp][Gg][Rr][Aa][Dd][Ee]$`)
	nonce      = regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`) // 16 bytes are 21 characters of 6 bits, and 2 bits
	recipient  = regexp.MustCompile(`(?i)^(host|origin|cookie|authorization|forwarded|via|x-real-ip|content-length|sec-.*|x-forwarded-.*)$`)
	hop        = regexp.MustCompile(`(?i)^(connection|upgrade|keep-alive|proxy-connection|te|trailer|transfer-encoding|http2-settings|close|proxy-authenticate|proxy-authorization)$`)
	zero       = regexp.MustCompile(`^0+$`)
	hopByHop   = regexp.MustCompile(`^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade)$`) // RFC 9113 §8.2.2
)

// list returns the elements of a list header. Several lines count as one list
// (RFC 9110 §5.3).
func list(lines []string) []string {
	var all []string
	for _, element := range strings.Split(strings.Join(lines, ","), ",") {
		if element = strings.Trim(element, " \t"); element != "" {
			all = append(all, element)
		}
	}
	return all
}

// wants reports whether a request asks for a WebSocket, in any spelling, or for
// a pipe.
func wants(r *http.Request) bool {
	if r.ProtoMajor > 1 {
		return r.Method == "CONNECT"
	}
	return slices.ContainsFunc(r.Header["Upgrade"], anyLetters.MatchString)
}

// broken returns the rules that a handshake breaks, grouped by the status of
// the refusal.
func broken(r *http.Request) map[int][]string {
	rules := make(map[int][]string)
	must := func(ok bool, status int, rule string) {
		if !ok {
			rules[status] = append(rules[status], rule)
		}
	}
	versions := r.Header["Sec-Websocket-Version"]
	if r.ProtoMajor == 1 { // RFC 6455 §4.2.1
		must(r.Method == "GET", 400, "GET")
		must(r.ProtoMinor >= 1, 400, "HTTP/1.1 or higher")
		must(len(list(r.Header["Upgrade"])) == 1 && slices.ContainsFunc(list(r.Header["Upgrade"]), websocket.MatchString), 400, "websocket alone")
		must(slices.ContainsFunc(list(r.Header["Connection"]), upgrade.MatchString), 400, "Connection: Upgrade")
		must(!slices.ContainsFunc(list(r.Header["Connection"]), func(option string) bool {
			return !token.MatchString(option) || recipient.MatchString(option) || len(r.Header.Values(option)) > 0 && !hop.MatchString(option)
		}), 400, "Connection names no field that goes on")
		keys := r.Header["Sec-Websocket-Key"]
		must(len(keys) == 1 && nonce.MatchString(keys[0]), 400, "one key of 16 bytes")
		must(len(versions) > 0, 426, "a version")
		for _, length := range r.Header["Content-Length"] {
			must(zero.MatchString(length), 400, "no body")
		}
		must(r.TransferEncoding == nil, 400, "no body in chunks")
	}
	if r.ProtoMajor == 2 {
		must(slices.Equal(r.Header[":protocol"], []string{"websocket"}), 400, "RFC 8441")
	}
	if r.ProtoMajor == 3 {
		must(r.Proto == "websocket", 400, "RFC 9220")
	}
	must(len(versions) <= 1, 426, "one version") // on a stream it may be left out
	for _, v := range versions {
		must(v == "13", 426, "version 13")
	}
	must(len(list(r.Header["Sec-Websocket-Extensions"])) <= 100, 400, "few extensions")
	must(len(list(r.Header["Sec-Websocket-Protocol"])) <= 100, 400, "few subprotocols")
	protocols := list(r.Header["Sec-Websocket-Protocol"]) // RFC 6455 §4.1, 10.
	for i, name := range protocols {
		must(token.MatchString(name), 400, "subprotocols are tokens")
		must(!slices.Contains(protocols[:i], name), 400, "subprotocols are unique")
	}
	return rules
}

// overConnection returns the request that net/http reads over HTTP/1. Nil: it
// passes none to a handler.
func overConnection(text string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil || r.ProtoMajor != 1 || r.Host == "" {
		return nil
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || !allValid(values) {
			return nil
		}
	}
	return r
}

func allValid(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) })
}

// overStream returns the request that net/http reads over HTTP/2, or quic-go
// over HTTP/3. Nil: it passes none to a handler. Each line is a field.
func overStream(major int, text string) *http.Request {
	r := &http.Request{Proto: "HTTP/2.0", ProtoMajor: major, Header: make(http.Header), ContentLength: -1}
	if major == 3 {
		r.Proto = "HTTP/3.0"
	}
	var protocol string
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !httpguts.ValidHeaderFieldValue(value) {
			return nil
		}
		switch name {
		case ":method":
			r.Method = value
		case ":protocol":
			protocol = value
		case ":scheme", ":authority", ":path": // they do not matter for a handshake
		default:
			if !httpguts.ValidHeaderFieldName(name) || name != strings.ToLower(name) || hopByHop.MatchString(name) {
				return nil
			}
			r.Header.Add(name, value)
		}
	}
	switch {
	case protocol == "":
	case r.Method != "CONNECT":
		return nil // RFC 8441 §4
	case major == 2:
		r.Header.Set(":protocol", protocol)
	default:
		r.Proto = protocol
	}
	return r
}

const goodStream = ":method: CONNECT\n:protocol: websocket\n:scheme: https\n:path: /ws/\n:authority: x\nsec-websocket-version: 13"

// FuzzCheck sends any request, over any version of HTTP. A request that passes
// must break no rule, and one that is refused must break a rule that has its
// status.
func FuzzCheck(f *testing.F) {
	f.Add(uint8(1), good)
	f.Add(uint8(2), goodStream)
	f.Add(uint8(3), goodStream+"\nsec-websocket-protocol: a, b")
	f.Fuzz(func(t *testing.T, version uint8, text string) {
		var r *http.Request
		if version == 2 || version == 3 {
			r = overStream(int(version), text)
		} else {
			r = overConnection(text)
		}
		if r == nil {
			return
		}
		if is := Is(r); is != wants(r) {
			t.Fatalf("a handshake: %v, and is not: %q", is, text)
		} else if !is {
			return
		}
		rules, err := broken(r), Check(r)
		var m *Malformed
		switch {
		case err == nil:
			if len(rules) > 0 {
				t.Errorf("passes, and breaks %v: %q", rules, text)
			}
			return
		case !errors.As(err, &m):
			t.Fatalf("a %T", err)
		case len(rules[m.Status]) == 0:
			t.Errorf("refused with %d %q, and breaks %v: %q", m.Status, m.Reason, rules, text)
		}
		if answer := answerTo(m.Status, r.ProtoMajor); !reflect.DeepEqual(m.Header, answer) || m.Reason == "" {
			t.Errorf("%d brings %v, want %v", m.Status, m.Header, answer)
		}
	})
}

// answerTo returns the header of a refusal: 426 names the version (RFC 6455
// §4.2.2), and the protocol on HTTP versions with Upgrade (RFC 9110 §15.5.22).
func answerTo(status, major int) http.Header {
	switch {
	case status != 426:
		return nil
	case major == 1:
		return http.Header{"Sec-WebSocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
	}
	return http.Header{"Sec-WebSocket-Version": {"13"}}
}

// falseClaims returns the false claims of a 101 (RFC 6455 §4.1), each as a word
// from the error that CheckAnswer returns for it.
func falseClaims(asked, answered http.Header, key string) (words []string) {
	truth := func(ok bool, word string) {
		if !ok {
			words = append(words, word)
		}
	}
	names := list(answered["Upgrade"])
	truth(len(names) == 1 && websocket.MatchString(names[0]), "Upgrade")
	truth(slices.ContainsFunc(list(answered["Connection"]), upgrade.MatchString), "Connection")
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	truth(slices.Equal(answered["Sec-Websocket-Accept"], []string{base64.StdEncoding.EncodeToString(sum[:])}), "Sec-WebSocket-Accept")
	offers := func(a, b string) []string { return list(slices.Concat(asked[a], asked[b])) }
	if lines, said := answered["Sec-Websocket-Protocol"]; said {
		truth(len(lines) == 1 && slices.Contains(offers("Sec-WebSocket-Protocol", "Sec-Websocket-Protocol"), lines[0]), "subprotocol")
	}
	known := make(map[string]bool)
	for _, offer := range offers("Sec-WebSocket-Extensions", "Sec-Websocket-Extensions") {
		known[nameOf(offer)] = true
	}
	for _, chosen := range list(answered["Sec-Websocket-Extensions"]) {
		name := nameOf(chosen)
		truth(name != "" && known[name], "extension")
	}
	return words
}

// nameOf returns an extension's name without its parameters.
func nameOf(s string) string { return strings.Trim(strings.Split(s, ";")[0], " \t") }

// FuzzClaims makes a backend answer anything to any request. {accept} is
// replaced by the right value for the key, because no fuzzer guesses a hash.
func FuzzClaims(f *testing.F) {
	f.Add("Sec-WebSocket-Protocol: v1, v2\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: {accept}\nSec-WebSocket-Protocol: v2", key, true)
	f.Fuzz(func(t *testing.T, request, answer, key string, spelt bool) {
		asked := fields(request)
		if spelt { // as RFC 6455 does, and Caddy
			for _, name := range []string{"Protocol", "Extensions"} {
				if lines, ok := asked["Sec-Websocket-"+name]; ok {
					delete(asked, "Sec-Websocket-"+name)
					asked["Sec-WebSocket-"+name] = lines
				}
			}
		}
		answered := fields(strings.ReplaceAll(answer, "{accept}", AcceptKey(key)))
		if asked == nil || answered == nil {
			return
		}
		words := falseClaims(asked, answered, key)
		var claim *FalseClaim
		switch err := CheckAnswer(asked, answered, key); {
		case err == nil:
			if len(words) > 0 {
				t.Errorf("believed, and false are %q: asked %v, answered %v", words, asked, answered)
			}
		case !errors.As(err, &claim):
			t.Fatalf("a %T", err)
		case !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(claim.Reason, word) }):
			t.Errorf("%q, and false are %q: asked %v, answered %v", claim.Reason, words, asked, answered)
		}
	})
}

// fields reads a header as net/http does. Nil: it is not valid.
func fields(text string) http.Header {
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		return nil
	}
	return http.Header(h)
}
