// Reads jobs as JSON lines {file, width, dark, script, run} and answers each with what a real browser saw of the page.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const [, , folder, chromium] = process.argv;
const require = createRequire(`${folder}/package.json`);
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const browser = await puppeteer.launch({
  executablePath: chromium, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"],
});
const answer = async ({ file, width = 1280, dark = false, script = true, run = "", check = false, media = "screen" }) => {
  const page = await browser.newPage();
  const said = [], asked = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) said.push(message.text()); });
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("dialog", (dialog) => { said.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => asked.push(request.url()));
  await page.setViewport({ width, height: 900 });
  // Each of the two undoes the other.
  if (media === "print") await page.emulateMediaType(media);
  else await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  await page.setJavaScriptEnabled(script);
  await page.goto(file, { waitUntil: "load" });
  const out = { said, asked: asked.slice(1), value: null, faults: [] };
  const steps = `(() => { ${run} })()`;
  if (run) out.value = await page.evaluate(steps);
  if (check) {
    await page.evaluate(() => document.querySelectorAll("details").forEach((fold) => { fold.open = true; }));
    await page.evaluate(axe);
    const told = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    out.faults = told.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} | ${n.failureSummary.slice(0, 200)}`).join(" || ")}`);
  }
  out.wide = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.close();
  return out;
};
for await (const line of createInterface({ input: process.stdin })) {
  let out;
  try { out = await answer(JSON.parse(line)); } catch (error) { out = { failed: String(error) }; }
  process.stdout.write(`${JSON.stringify(out)}\n`);
}
await browser.close();
