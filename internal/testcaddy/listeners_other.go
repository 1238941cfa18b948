//go:build !linux

package testcaddy

// sharedAddress returns nothing: only Linux shows the sockets of a process.
func (*Server) sharedAddress() string { return "" }
