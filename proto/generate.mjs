// Runs `npm run generate` at the root when what it made is older than what it is made from: a build after an edit
// elsewhere leaves the generated files alone.
import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const proto = fileURLToPath(new URL(".", import.meta.url));

const sources = ["sandbox", "google", "grpc"]
  .flatMap((folder) => readdirSync(`${proto}${folder}`, { recursive: true }).map((file) => `${proto}${folder}/${file}`))
  .concat(`${root}buf.yaml`, `${root}buf.gen.yaml`, `${root}package-lock.json`);

// The descriptor is written last, so it is there only after a generation that went well.
const made = statSync(`${proto}gen/descriptor.binpb`, { throwIfNoEntry: false });

if (made === undefined || sources.some((file) => statSync(file).mtimeMs > made.mtimeMs)) {
  const { status } = spawnSync("npm", ["run", "--silent", "generate"], { cwd: root, stdio: "inherit" });
  process.exitCode = status ?? 1;
}
