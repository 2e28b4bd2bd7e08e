#include "napi/worker_pool.h"

#include <pthread.h>

#include <utility>

namespace marble::napi {

bool WorkerPool::Post(std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return false;
  queue_.push_back(std::move(work));
  if (idle_ < queue_.size() && threads_.size() < kMaxThreads) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), "marble-napi");
  }
  wake_.notify_one();
  return true;
}

void WorkerPool::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    --idle_;
    if (stopped_) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds is destroyed outside the lock
    lock.lock();
  }
}

void WorkerPool::Stop() {
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    threads.swap(threads_);
    dropped.swap(queue_);
    wake_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

bool Strand::Post(WorkerPool* pool, std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  if (running_) return true;
  running_ = pool->Post([self = shared_from_this(), pool] { self->RunNext(pool); });
  if (!running_) queue_.pop_back();
  return running_;
}

void Strand::RunNext(WorkerPool* pool) {
  std::function<void()> work;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    work = std::move(queue_.front());
    queue_.pop_front();
  }
  work();
  work = nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  if (queue_.empty()) {
    running_ = false;
  } else if (!pool->Post([self = shared_from_this(), pool] { self->RunNext(pool); })) {
    queue_.clear();
    running_ = false;
  }
}

}  // namespace marble::napi
