package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// answerLimit is how long the command waits for an answer. A switch takes 5 s
// when Caddy's storage hangs.
const answerLimit = 15 * time.Second

// client makes calls to the admin endpoint for one command.
type client struct {
	cmd  *cobra.Command
	addr string
	json bool
}

// newClient returns a client for the admin endpoint that it finds.
func newClient(cmd *cobra.Command) (*client, error) {
	addr, err := findEndpoint(cmd)
	if err != nil {
		return nil, err
	}
	return &client{cmd: cmd, addr: addr, json: cmd.Flag("json").Value.String() == "true"}, nil
}

// ask makes one call and decodes the answer into into. body is sent as JSON;
// nil: no body. done is true if --json has already printed the answer.
func (c *client) ask(method, path string, body, into any) (done bool, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return false, fmt.Errorf("encoding the request: %w", err)
		}
	}
	answer, err := c.call(method, path, b, answerLimit)
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return false, fmt.Errorf("reading the answer of %s: %w", c.addr, err)
	}
	if !c.json {
		return false, nil
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, answer, "", "  "); err != nil {
		return false, fmt.Errorf("reading the answer of %s: %w", c.addr, err)
	}
	_, err = fmt.Fprintln(c.cmd.OutOrStdout(), strings.TrimSpace(pretty.String()))
	return true, err
}

// call makes one request, and limits its time: Caddy's own function does not. A
// request that hangs ends when the process ends, soon after.
func (c *client) call(method, path string, body []byte, most time.Duration) ([]byte, error) {
	type result struct {
		answer []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := c.request(method, path, body)
		done <- result{answer, err}
	}()
	limit := time.NewTimer(most)
	defer limit.Stop()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-limit.C:
		return nil, fmt.Errorf("no answer from the admin endpoint at %s within %s", c.addr, most)
	}
}

func (c *client) request(method, path string, body []byte) ([]byte, error) {
	var reader io.Reader // a nil *bytes.Reader would not be nil
	if body != nil {
		reader = bytes.NewReader(body)
	}
	resp, err := caddycmd.AdminAPIRequest(c.addr, method, path, nil, reader)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.addr, err)
	}
	return answer, nil
}

// errorAnswer matches the error that caddycmd.AdminAPIRequest makes of an
// answer with status 400 or above.
var errorAnswer = regexp.MustCompile(`(?s)^caddy responded with error: HTTP (\d+): (.*)$`)

// explain returns the message in an error of caddycmd.AdminAPIRequest.
func (c *client) explain(err error) error {
	m := errorAnswer.FindStringSubmatch(err.Error())
	if m == nil {
		return fmt.Errorf("asking the admin endpoint at %s: %w (is Caddy running there? --address or --config names another)", c.addr, err)
	}
	status, body := m[1], m[2]
	var message struct {
		Error string `json:"error"`
	}
	switch {
	case json.Unmarshal([]byte(body), &message) == nil && message.Error != "":
		return errors.New(message.Error)
	case status == fmt.Sprint(http.StatusNotFound):
		return fmt.Errorf("the Caddy at %s has no wsgate in it", c.addr)
	}
	return fmt.Errorf("the admin endpoint at %s answered %s: %s", c.addr, status, printable(strings.TrimSpace(body)))
}
