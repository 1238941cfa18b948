// Package window answers: when? A [Schedule] is a set of weekly windows in
// time zones of their own; whether a moment lies in it, and when that changes
// next, are pure functions of the moment.
//
// Windows are half-open: 09:00-18:00 begins at 09:00 and has ended at 18:00. A
// window that ends before it begins runs overnight and belongs, with its days
// and its exceptions, to the day it began.
//
// Where clocks are set forward, an edge inside the gap means the first moment
// after it. Where they are set back, an edge that occurs twice means its first
// occurrence. So a window is one stretch of time also on these days, and is as
// much shorter or longer as the day is.
package window
