"""The fault proxy does what it says: a test behind one that injects nothing would prove nothing."""
import http.client
import http.server
import socket
import threading
import time
import unittest

from servers import FaultProxy

BODY = bytes(range(256)) * 400


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_PUT(self):
        try:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        except OSError:
            return
        if len(body) == int(self.headers["Content-Length"]):
            self.server.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class Proxy(unittest.TestCase):
    def setUp(self):
        self.server = _Quiet(("127.0.0.1", 0), _Handler)
        self.server.seen = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def proxy(self, *arguments, **options):
        proxy = FaultProxy(self.server.server_address[1], *arguments, **options)
        self.addCleanup(proxy.stop)
        return proxy

    def ask(self, proxy, method="GET", path="/x", body=None, timeout=5):
        """Status and body, or the class of what went wrong."""
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
        try:
            client.request(method, path, body)
            reply = client.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error)
        finally:
            client.close()

    def test_passes_everything_and_counts(self):
        proxy = self.proxy()
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
        for number in range(20):
            client.request("PUT", f"/{number}", bytes(number * 9000))
            self.assertEqual(client.getresponse().read(), b"")
            client.request("GET", f"/{number}")
            self.assertEqual(client.getresponse().read(), BODY)
        client.close()
        until = time.monotonic() + 5  # a request counts once its reply has been passed on
        while (stats := proxy.stats())["requests"] < 40 and time.monotonic() < until:
            time.sleep(0.01)
        self.assertEqual((stats["requests"], stats["methods"], stats["connections"], stats["injected"]),
                         (40, {"GET": 20, "PUT": 20}, 1, 0))
        self.assertEqual(stats["chain"], 41)  # the connection, and one request after the other

    def test_round_trips_and_bandwidth_take_their_time(self):
        proxy = self.proxy("--rtt", 100)
        begun = time.monotonic()
        self.ask(proxy)
        self.assertGreaterEqual(time.monotonic() - begun, 0.2)  # connection and request
        slow = self.proxy("--down", len(BODY))
        begun = time.monotonic()
        threads = [threading.Thread(target=self.ask, args=(slow,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(time.monotonic() - begun, 1.9)  # both over one link

    def one(self, kind, method="GET", body=None, timeout=5):
        self.server.seen.clear()
        proxy = self.proxy("--rate", 1, "--most", 1, faults={kind: 1})
        found = self.ask(proxy, method, "/x", body, timeout)
        self.assertEqual(proxy.stats()["faults"], {kind: 1})
        seen = list(self.server.seen)
        self.assertEqual(self.ask(proxy), (200, BODY))  # only one
        return found, seen

    def test_each_fault(self):
        big = bytes(3_000_000)
        self.assertEqual(self.one("cut-request", "PUT", big), (self.one("cut-request", "PUT", big)[0], []))
        self.assertIn(self.one("cut-request")[0], (ConnectionResetError, http.client.RemoteDisconnected))
        self.assertIn(self.one("cut-reply")[0], (ConnectionResetError, http.client.IncompleteRead))
        self.assertEqual(self.one("truncate")[0], http.client.IncompleteRead)
        found, seen = self.one("lost-reply", "PUT", big)
        self.assertEqual((found, seen), (ConnectionResetError, ["/x"]))
        found, seen = self.one("duplicate", "PUT", big)
        self.assertEqual((found, seen), ((200, b""), ["/x", "/x"]))
        self.assertEqual(self.one("stall-request", timeout=0.5), (TimeoutError, []))
        self.assertEqual(self.one("stall-reply", timeout=0.5), (TimeoutError, ["/x"]))
        (status, body), _ = self.one("garble")
        self.assertEqual((status, sum(a != b for a, b in zip(body, BODY, strict=True))), (200, 1))
        for status in (500, 503, 429):
            found, seen = self.one(str(status), "PUT", big)
            self.assertEqual((found[0], seen), (status, []))

    def test_the_seed_decides(self):
        def kinds(seed):
            proxy = self.proxy("--rate", 0.5, "--seed", seed, faults={"500": 1, "503": 1, "429": 1})
            return [self.ask(proxy)[0] for _ in range(40)]
        first = kinds(7)
        self.assertEqual(first, kinds(7))
        self.assertNotEqual(first, kinds(8))
        self.assertLess(10, sum(status != 200 for status in first))

    def test_calm_and_storm(self):
        proxy = self.proxy("--rate", 1, faults={"500": 1})
        self.assertEqual(self.ask(proxy)[0], 500)
        proxy.tell("calm")
        self.assertEqual(self.ask(proxy)[0], 200)
        proxy.tell("storm")
        self.assertEqual(self.ask(proxy)[0], 500)
        self.assertEqual(proxy.tell("reset")["injected"], 0)

    def test_bytes_of_any_protocol(self):
        proxy = self.proxy("--tcp", "--mean-bytes", 200_000, "--seed", 3)
        whole = 0
        for _ in range(40):
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
            try:
                client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                got = b""
                while piece := client.recv(1 << 16):
                    got += piece
                whole += got.endswith(BODY)
            except OSError:
                pass
            finally:
                client.close()
        injected = proxy.stats()["injected"]
        self.assertLess(5, injected)
        self.assertEqual(whole, 40 - injected)
