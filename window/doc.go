// Package window answers: when? A [Schedule] is a set of weekly windows, each
// in its own time zone. Two pure functions of a moment say whether the moment
// is in a window, and when that changes next.
//
// Windows are half-open: 09:00-18:00 begins at 09:00 and has ended at 18:00. A
// window that ends before it begins runs overnight. It belongs, with its days
// and its exceptions, to the day on which it began.
//
// When clocks are set forward, an edge inside the gap means the first moment
// after the gap. When they are set back, an edge that occurs twice means its
// first occurrence. So a window is one stretch of time on these days too, and
// is longer or shorter by as much as the day is.
package window
