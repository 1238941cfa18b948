package wsgate

// keptWords are reverse_proxy's words that mean in a wsgate block what they
// mean there.
var keptWords = map[string]bool{
	"dynamic": true, "transport": true, "header_up": true, "header_down": true,
	"trusted_proxies": true, "handle_response": true, "rewrite": true, "verbose_logs": true, "proxy_status_name": true,

	"lb_policy": true, "lb_retries": true, "lb_try_duration": true, "lb_try_interval": true, "lb_retry_match": true,

	"health_uri": true, "health_path": true, "health_upstream": true, "health_port": true, "health_interval": true,
	"health_passes": true, "health_fails": true, "health_timeout": true, "health_status": true, "health_body": true,
	"health_method": true, "health_request_body": true, "health_follow_redirects": true, "health_headers": true,

	"fail_duration": true, "max_fails": true, "unhealthy_status": true, "unhealthy_latency": true, "unhealthy_request_count": true,
}

// refusedWords are reverse_proxy's words that cannot mean anything here.
var refusedWords = map[string]string{
	"method":             "a handshake is a GET",
	"flush_interval":     "a tunnel is never buffered",
	"request_buffers":    "a handshake has no body",
	"response_buffers":   "a tunnel is never buffered",
	"stream_buffer_size": "an idle tunnel has no buffer, a busy one borrows it",
	"replace_status":     "it would hide the backend's answer to a handshake; handle_response can answer in its place",
}
