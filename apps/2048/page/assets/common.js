// What both scripts of the page need.

export const $ = (id) => document.getElementById(id);

/** The browser's storage, or nothing at all where it is switched off or full. */
export const memory = {
  read(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      // The game goes on; it will not survive a reload.
    }
  },
};
