/**
 * The page of a run that goes on: the same page as `report.html`, told of each record by server-sent events. It can only be looked at.
 *
 * @module
 */

import { runPage } from "../report/run_page.ts";
import { UsageError } from "./errors.ts";
import { reasonOf } from "./files.ts";
import { pageAssets } from "./page_assets.ts";
import type { RunListener } from "./run_records.ts";
import { readRun } from "./run_view.ts";

/** Where a run is shown. */
export interface RunServer extends RunListener {
  readonly address: string;
  close(): Promise<void>;
}

/** Records that a page which comes back can catch up with. */
const remembered = 5000;
/** Events that may wait for a slow reader before it is let go; it comes back by itself. */
const mostWaiting = 2000;
const heartbeatSeconds = 10;
/** Time for pages that are open to take what the run ended with. */
const lastLookMilliseconds = 500;

const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" };
const encoder = new TextEncoder();

/**
 * Shows a run on a port of this machine. Only pages of this machine reach it, unless `host` is another address.
 *
 * @throws {UsageError} Where the port cannot be had.
 */
export function serveRun(
  folder: string,
  { name, host = "127.0.0.1", port }: { readonly name: string; readonly host?: string; readonly port: number },
): RunServer {
  const events = eventLog();
  const answer = async (request: Request): Promise<Response> => {
    const { pathname, searchParams, hostname } = new URL(request.url);
    if (isLoopback(host) && !isLoopback(hostname)) return new Response("another host was asked for", { status: 403, headers });
    if (request.method !== "GET") return new Response("this page can only be looked at", { status: 405, headers });
    if (pathname === "/events") {
      const after = Number(request.headers.get("last-event-id") ?? searchParams.get("after") ?? 0);
      return new Response(events.stream(after), { headers: { ...headers, "content-type": "text/event-stream" } });
    }
    if (pathname !== "/") return new Response("not found", { status: 404, headers });
    const live = { after: events.last() }; // before the files are read: what comes meanwhile is told twice, and counted once
    const html = runPage([await readRun(folder, name)], await pageAssets(), live);
    return new Response(html, { headers: { ...headers, "content-type": "text/html; charset=utf-8" } });
  };
  const server = listen(
    { hostname: host, port },
    async (request) => await answer(request).catch((error) => new Response(reasonOf(error), { status: 500, headers })),
  );
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    name: "the live page",
    address: `http://${isLoopback(host) ? "localhost" : shown}:${server.addr.port}/`,
    tell: (record) => void events.add("record", JSON.stringify(record)),
    async close() {
      if (events.add("end", "") > 0) await new Promise((resolve) => setTimeout(resolve, lastLookMilliseconds));
      events.close();
      const impatience = setTimeout(() => server.controller.abort(), lastLookMilliseconds);
      await server.shutdown();
      clearTimeout(impatience);
    },
  };
}

const isLoopback = (host: string) => /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(host);

function listen(options: { hostname: string; port: number }, handler: Deno.ServeHandler) {
  const controller = new AbortController();
  try {
    const server = Deno.serve({ ...options, signal: controller.signal, onListen() {} }, handler);
    return { addr: server.addr as Deno.NetAddr, shutdown: () => server.shutdown(), controller };
  } catch (error) {
    const reason = error instanceof Deno.errors.AddrInUse ? "another program uses it" : reasonOf(error);
    throw new UsageError(
      `cannot show the run on port ${options.port} of ${options.hostname}: ${reason}; wanted another --serve PORT`,
    );
  }
}

/** Events with numbers, for readers that come and go. */
function eventLog() {
  const readers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  let kept: { readonly id: number; readonly text: Uint8Array<ArrayBuffer> }[] = [];
  let last = 0;
  const leave = (reader: ReadableStreamDefaultController<Uint8Array>) => {
    readers.delete(reader);
    try {
      reader.close();
    } catch { /* it has gone */ }
  };
  const give = (reader: ReadableStreamDefaultController<Uint8Array>, text: Uint8Array<ArrayBuffer>) => {
    if ((reader.desiredSize ?? -Infinity) < -mostWaiting) leave(reader);
    else reader.enqueue(text);
  };
  const heartbeat = setInterval(
    () => readers.forEach((reader) => give(reader, encoder.encode(":\n\n"))),
    1000 * heartbeatSeconds,
  );
  Deno.unrefTimer(heartbeat);
  return {
    last: () => last,
    /** @returns how many readers were told. */
    add(kind: string, data: string): number {
      const event = { id: ++last, text: encoder.encode(`id: ${last}\nevent: ${kind}\ndata: ${data}\n\n`) };
      kept.push(event);
      if (kept.length > 2 * remembered) kept = kept.slice(-remembered);
      readers.forEach((reader) => give(reader, event.text));
      return readers.size;
    },
    /** Events behind the one of a number; a reader that knows of none of them is told to begin anew. */
    stream(after: number): ReadableStream<Uint8Array> {
      let own: ReadableStreamDefaultController<Uint8Array>;
      return new ReadableStream<Uint8Array>({
        start(reader) {
          own = reader;
          readers.add(reader);
          const isKnown = after <= last && after >= (kept[0]?.id ?? 1) - 1;
          give(reader, encoder.encode("retry: 1000\n\n"));
          if (!isKnown) give(reader, encoder.encode("event: reload\ndata:\n\n"));
          else kept.filter(({ id }) => id > after).forEach(({ text }) => give(reader, text));
        },
        cancel: () => void readers.delete(own),
      }, { highWaterMark: 0 });
    },
    close(): void {
      clearInterval(heartbeat);
      readers.forEach(leave);
    },
  };
}
