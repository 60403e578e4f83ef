// The service worker of 2048: keeps the page's files, all of one version, so that the page opens without
// the server. build.rs fills in the version, a hash of all files, and their paths.
//
// Files come from the cache first. The browser asks for this script each time the page is opened; if
// its version is another one, all files are fetched anew and the page has them when it opens next.

const CACHE = "landfall-2048-{{version}}";
const PATHS = {{paths}};

async function keepAll() {
  const cache = await caches.open(CACHE);
  await cache.addAll(PATHS.map((path) => new Request(path, { cache: "no-cache" })));
  await self.skipWaiting();
}

async function forgetOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith("landfall-2048-") && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function fromCacheFirst(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true, ignoreVary: true })) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
self.addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !PATHS.includes(pathname)) return;
  event.respondWith(fromCacheFirst(event.request));
});
