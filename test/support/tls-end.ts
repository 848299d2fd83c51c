/** What ends TLS in front of a server, as a proxy does. */
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { createServer } from "node:tls";

/** For the address 0.0.0.0, which is this machine, but is not known to be by how it is written. It is its own authority. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBZjCCAQygAwIBAgIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5saXZlc2Nv
cGUtdGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwObGl2ZXNjb3BlLXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARK
zRCY1thmvhe+MMa0r/cDhcjW9/w6r1J7QIEQ9KGCBzVpf/+KRN0Be23VCRqSywZb
r72YjXLtWE+PngHar2pso0MwQTAPBgNVHREECDAGhwQAAAAAMA8GA1UdEwEB/wQF
MAMBAf8wHQYDVR0OBBYEFKePA2uVsk+ziG603aG685jWMV0RMAoGCCqGSM49BAMC
A0gAMEUCIDeKx6Ees+shNzb3aYDiHiKoQxa/lWD4NKfvByFwLXBKAiEA7S5kvUp4
VmvrOrISl6lF2NpUFRC0tLjZCLt/KdCZZbg=
-----END CERTIFICATE-----
`;

/** Of the certificate above, and of nothing else. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYly5f+zUmvfIZ91y
TEqYybHoqfNjKKHqi2nrrfvPDxShRANCAARKzRCY1thmvhe+MMa0r/cDhcjW9/w6
r1J7QIEQ9KGCBzVpf/+KRN0Be23VCRqSywZbr72YjXLtWE+PngHar2ps
-----END PRIVATE KEY-----
`;

/** Listens until it is disposed of, and passes on to a server what comes. @param to host and port */
export async function tlsEnd(to: string): Promise<{ address: string } & AsyncDisposable> {
  const [host, port] = to.split(":");
  const server = createServer({ cert: CERTIFICATE, key: KEY, ALPNProtocols: ["h2"] }, (client) => {
    const behind = connect(Number(port), host);
    client.pipe(behind).pipe(client);
    client.on("error", () => behind.destroy());
    behind.on("error", () => client.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    address: `0.0.0.0:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
