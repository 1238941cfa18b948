// Package command is `caddy wsgate …`: the calls of the admin endpoint in a
// terminal. It finds the endpoint as `caddy reload` does, makes the call, and
// prints what happened.
package command
