// Package command is `caddy wsgate …`: it makes wsgate's calls on the admin
// endpoint from a terminal. It finds the endpoint as `caddy reload` does, makes
// the call, and prints the result.
package command
