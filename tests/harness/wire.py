"""A TCP connection that can be cut: stands between clients and a server on loopback."""
import contextlib
import selectors
import socket
import threading


class Wire:
    def __init__(self, server_port):
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs = set()
        self._frozen = set()
        self._down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._down:
                    raise OSError
                server = socket.create_connection(("127.0.0.1", self._server_port), 5)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._carry, args=(pair,), daemon=True).start()

    def _carry(self, pair):
        with selectors.DefaultSelector() as waiting, contextlib.suppress(OSError, ValueError):
            waiting.register(pair[0], selectors.EVENT_READ, pair[1])
            waiting.register(pair[1], selectors.EVENT_READ, pair[0])
            while True:
                for key, _ in waiting.select():
                    if pair in self._frozen:
                        return  # both ends stay open
                    data = key.fileobj.recv(1 << 16)
                    if not data:
                        raise OSError
                    key.data.sendall(data)
        self._close(pair)

    def _close(self, pair):
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self):
        """Every connection breaks; none is made until `mend`."""
        self._down = True
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self):
        """Nothing gets through the connections that there are any more and neither end is told, as when a machine is gone."""
        with self._lock:
            self._frozen |= self._pairs

    def mend(self):
        self._down = False

    def lead_to(self, server_port):
        """Connections made from now on go to another server; those that are there break."""
        self._server_port = server_port
        self.cut()
        self.mend()

    def close(self):
        self._listener.close()
        self.cut()
