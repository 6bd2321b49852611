package lines

// The vocabulary of the lines. Lists are ordered by weight: the earlier an entry, the more often it is drawn, as in
// real logs, so that compression has about as much to find as it has there.

var agents = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
	"curl/8.14.1",
	"kube-probe/1.34",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	"Go-http-client/2.0",
	"okhttp/5.1.0",
	"python-requests/2.32.4",
	"Prometheus/3.5.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
	"Dalvik/2.1.0 (Linux; U; Android 15; Pixel 9)",
	"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
	"axios/1.11.0",
	"GuzzleHttp/7",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
	"ELB-HealthChecker/2.0",
	"Apache-HttpClient/5.5 (Java/21.0.8)",
}

var paths = []string{
	"/", "/api/v1/orders/", "/api/v1/items/", "/static/js/app.", "/img/thumb/", "/healthz", "/api/v1/users/",
	"/search?page=2&q=", "/cart/", "/static/css/main.", "/login", "/api/v2/events?after=", "/blog/2026/11/", "/favicon.ico",
	"/metrics", "/download/", "/robots.txt", "/admin/session/",
}

var referers = []string{
	"-", "https://shop.example.com/", "-", "-", "https://www.example.org/list", "https://shop.example.com/cart", "-",
	"https://www.google.com/",
}

var methods = []string{"GET", "GET", "GET", "GET", "POST", "GET", "PUT", "HEAD", "DELETE"}

var statuses = []string{"200", "200", "200", "200", "304", "200", "204", "404", "301", "201", "500", "403", "502"}

var levels = []string{"info", "info", "info", "debug", "info", "warn", "error"}

var loggers = []string{"http.server", "orders", "db.pool", "auth", "queue.worker", "cache", "billing.invoice"}

var messages = []string{
	"request served", "cache miss", "query finished", "job done", "token refreshed", "connection returned to pool",
	"retrying after a timeout of the upstream", "order accepted", "slow query", "upstream closed the connection",
}
