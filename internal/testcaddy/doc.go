// Package testcaddy runs a whole Caddy with wsgate for tests: a process of its
// own, which is the test binary started again, so that tests run in parallel,
// see real signals and exits, and touch no file of the user's.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { testcaddy.Main(m) }
//
// The package has a process-wide variable, nextPort: tests that run in parallel
// must not get the same port.
package testcaddy
