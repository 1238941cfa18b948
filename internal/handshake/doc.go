// Package handshake is the opening handshake on net/http, in its three HTTP
// versions: it recognises one ([Is]), says what is wrong with it ([Check]), ends it
// where somebody has to ([Stop], [Exit]), and says yes to it and takes the
// connection ([Handshake.Accept]). A handler goes in by [Enter].
package handshake
