//go:build !linux

package testcaddy

// twice cannot be told here.
func (*Server) twice() string { return "" }
