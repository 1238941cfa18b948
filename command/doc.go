// Package command is `caddy wsgate …`: the calls of the admin endpoint in a
// terminal. It finds the endpoint as `caddy reload` does, asks it, and says in
// words what was done.
package command
