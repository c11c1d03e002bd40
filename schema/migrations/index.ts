export { dumpSchema } from './dump.ts';
export { listMigrations, type Migration, MigrationError, type MigrationLog, migrate, migrationsHash } from './runner.ts';
