// Package handshake is the opening handshake on net/http, in its three HTTP
// versions. It recognises a handshake ([Is]), says what is wrong with it
// ([Check]), ends it when the gate closes or the process exits ([Stop],
// [Exit]), and accepts it and takes the connection ([Handshake.Accept]). A
// handler starts with [Enter].
//
// The package has a process-wide variable, underWay: the handshakes,
// connections and HTTP/3 servers that must end when the process exits. Those of
// an earlier configuration must end, too, and no configuration knows them any
// more.
package handshake
