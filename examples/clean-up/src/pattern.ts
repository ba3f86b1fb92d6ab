import { DurableObject } from 'cloudflare:workers';

export class WithCleanup extends DurableObject {
  async cleanup() {
    await this.ctx.storage.deleteAlarm(); // Separate from deleteAll
    await this.ctx.storage.deleteAll();
  }
}
