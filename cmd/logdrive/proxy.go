package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// proxyFunc chooses the HTTP proxy before a hub. The one of the flag is for every hub; the environment's, as any HTTP client reads it, for WebSocket only: to it the rest is not HTTP.
func proxyFunc(flag string) (func(hub *url.URL) (*url.URL, error), error) {
	switch flag {
	case "none":
		return nil, nil
	case "":
		return environmentProxy, nil
	}
	proxy, err := url.Parse(flag)
	if err != nil || proxy.Scheme != "http" && proxy.Scheme != "https" || proxy.Hostname() == "" {
		return nil, errors.New("--proxy is not http://host:port, https://host:port or none") // it may hold a password, and is not told
	}
	return func(*url.URL) (*url.URL, error) { return proxy, nil }, nil
}

func environmentProxy(hub *url.URL) (*url.URL, error) {
	if !strings.HasPrefix(hub.Scheme, "ws") {
		return nil, nil
	}
	asked := *hub
	asked.Scheme = strings.Replace(hub.Scheme, "ws", "http", 1)
	return http.ProxyFromEnvironment(&http.Request{URL: &asked})
}
