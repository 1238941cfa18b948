// Package matchers answers: is this request of that kind? Each matcher has a
// file. time_window and env_flag need no request, so they are also rules of a
// gate ([gate.Rule]).
package matchers
